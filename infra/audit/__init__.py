"""The isolation audit: which packets can pass between whom, and is it what was declared."""
