"""Gymnasium environments of rarrl; importing this package registers them."""

import gymnasium

gymnasium.register(
    id="rarrl/AlfredReplay-v0",
    entry_point="rarrl_sim_envs.alfred.env:AlfredReplayEnv",
    vector_entry_point="rarrl_sim_envs.alfred.env:AlfredReplayVectorEnv",
)
gymnasium.register(id="rarrl/Household-v0", entry_point="rarrl_sim_envs.household.env:HouseholdEnv")
gymnasium.register(
    id="rarrl/HouseholdTwin-v0", entry_point="rarrl_sim_envs.household.env:HouseholdEnv", kwargs={"stereo": False}
)
