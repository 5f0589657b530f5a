"""Internal helpers of all layers: secrets, checks of arguments, clocks, encodings, plain HTTP values."""
