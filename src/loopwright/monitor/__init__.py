"""What is found by looking on: windows of the prediction log against schema, training, earlier windows, and labels."""
