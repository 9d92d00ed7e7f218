"""How much a language model helps a robot that is not ours: pyrobosim's missions, with a model's recorded answers."""
