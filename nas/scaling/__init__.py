"""From one network to larger and smaller ones: rules, sizes that are solved for, families."""
