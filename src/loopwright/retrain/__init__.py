"""What makes a loop learn again: declared in the loop file, decided from facts alone, and carried out once a cause."""
