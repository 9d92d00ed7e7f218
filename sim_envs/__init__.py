"""Gymnasium environments of rarrl; importing this package registers them. Simulators are imported by `make` alone."""

import gymnasium

gymnasium.register(
    id="rarrl/AlfredReplay-v0",
    entry_point="rarrl_sim_envs.alfred.env:AlfredReplayEnv",
    vector_entry_point="rarrl_sim_envs.alfred.env:AlfredReplayVectorEnv",
)
gymnasium.register(id="rarrl/AlfWorld-v0", entry_point="rarrl_sim_envs.alfworld.env:AlfWorldEnv")
gymnasium.register(id="rarrl/Household-v0", entry_point="rarrl_sim_envs.household.env:HouseholdEnv")
gymnasium.register(
    id="rarrl/HouseholdTwin-v0", entry_point="rarrl_sim_envs.household.env:HouseholdEnv", kwargs={"stereo": False}
)
gymnasium.register(
    id="rarrl/LiberoGoal-v0",
    entry_point="rarrl_sim_envs.libero.suite:LiberoGoalEnv",
    kwargs={"task": "put_the_bowl_on_the_plate"},
)
gymnasium.register(
    id="rarrl/LiberoObject-v0",
    entry_point="rarrl_sim_envs.libero.suite:LiberoObjectEnv",
    kwargs={"task": "pick_up_the_milk_and_place_it_in_the_basket"},
)
gymnasium.register(
    id="rarrl/LiberoSpatial-v0",
    entry_point="rarrl_sim_envs.libero.suite:LiberoSpatialEnv",
    kwargs={"task": "pick_up_the_black_bowl_from_table_center_and_place_it_on_the_plate"},
)
gymnasium.register(
    id="rarrl/MetaWorldLanguage-v0",
    entry_point="rarrl_sim_envs.metaworld.env:MetaWorldLanguageEnv",
    kwargs={"task": "drawer-close"},
)
gymnasium.register(
    id="rarrl/RandomSkills-v0",
    entry_point="rarrl_sim_envs.random_skills.env:RandomSkillsEnv",
    vector_entry_point="rarrl_sim_envs.random_skills.env:RandomSkillsVectorEnv",
)
gymnasium.register(
    id="rarrl/Tabletop-v0",
    entry_point="rarrl_sim_envs.tabletop.env:TabletopEnv",
    kwargs={"task": "press-red-cube"},
)
