"""What officers do: a register opened for one of them, and a module for each verb and question."""
