"""Gymnasium environments of rarrl; importing this package registers them."""

import gymnasium

gymnasium.register(
    id="rarrl/AlfredReplay-v0",
    entry_point="rarrl_sim_envs.alfred_replay:AlfredReplayEnv",
    vector_entry_point="rarrl_sim_envs.alfred_replay:AlfredReplayVectorEnv",
)
