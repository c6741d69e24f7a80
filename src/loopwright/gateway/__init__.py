"""What answers: routes followed, rows read strictly, models run, every answer recorded. Knows no protocol."""
