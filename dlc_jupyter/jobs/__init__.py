"""How an analysis gets from asked-for to done."""
