"""Claims are checked against the passages they cite before anybody sees them."""
