"""The end of a search: its best networks trained anew, beside what a user would have taken instead."""
