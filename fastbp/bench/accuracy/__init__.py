"""Time to accuracy: seconds from the first weights to a loss, by the rule of each library that gets there soonest.

`problems` has the data, first weights and aims, `contestants` who tries, `search` watches one try, in a process of its own,
`contest` lets them try in turns, `report` and `picture` show.
"""
