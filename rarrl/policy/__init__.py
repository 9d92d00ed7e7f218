"""The action policy: pictures, proprioception and an instruction in, a chunk of actions out."""
