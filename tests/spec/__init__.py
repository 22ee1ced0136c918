"""What the specifications say, one file for each RFC, the section in the test's name."""
