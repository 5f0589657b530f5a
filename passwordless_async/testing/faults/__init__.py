"""The faults that a test can switch on."""
