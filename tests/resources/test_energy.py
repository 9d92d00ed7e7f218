import pytest

from rarrl.resources.energy import EnergyProbe


@pytest.fixture
def zones(tmp_path):
    for name, start in (("intel-rapl:0", 1_000_000), ("intel-rapl:1", 9_000_000), ("intel-rapl:0:0", 5)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "energy_uj").write_text(f"{start}\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")
    return tmp_path


def test_packages_are_added_up_and_wrap(zones):
    probe = EnergyProbe(zones)
    assert probe.available and probe.joules() == 0.0
    (zones / "intel-rapl:0" / "energy_uj").write_text("3500000")
    (zones / "intel-rapl:1" / "energy_uj").write_text("500000")  # past its range
    assert probe.joules() == pytest.approx(2.5 + 1.5)
    (zones / "intel-rapl:0:0" / "energy_uj").write_text("999999")  # a part of a package: in it already
    assert probe.joules() == pytest.approx(4.0)


def test_where_nothing_can_be_read_there_is_no_figure(tmp_path, zones):
    assert EnergyProbe(tmp_path / "none").joules() is None
    (zones / "intel-rapl:1" / "energy_uj").write_text("no number")
    assert EnergyProbe(zones).joules() is None
