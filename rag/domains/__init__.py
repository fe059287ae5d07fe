"""Medical domains: their names, the words and tags that point to one, and the partitions of a pathology library. Pure.

A domain is what kind of picture a question is about. It decides which cases are worth showing, not what is true.
"""
