"""What of the data is asked for: predicates, orders, groups, in terms that every store can translate."""
