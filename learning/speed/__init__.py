"""How fast a robot's parts are on this computer: a preset for a rate, and where their milliseconds vary."""
