"""`python -m cunzheng`: the same as the command `cunzheng`."""

from cunzheng.cli import main

main()
