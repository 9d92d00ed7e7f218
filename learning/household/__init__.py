"""The household's missions: evaluated, recorded, trained on."""
