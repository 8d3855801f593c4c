"""Known defects, planted one at a time: each must turn one named test red, which is green without it."""
