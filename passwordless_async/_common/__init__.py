"""What all layers use and no application sees: secrets, checks of arguments, clocks, encodings, plain HTTP values."""
