"""Records demonstrations; trains, tunes, evaluates and exports action policies."""
