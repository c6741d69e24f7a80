"""How a version is released: for now the declaration; the controller that carries it out is built on it."""
