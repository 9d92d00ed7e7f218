"""Action policies: record demonstrations, train, tune, evaluate and export."""
