"""What several commands about a whole installation are told in the same way."""

DATABASES = "sqlite:///data/{service}.db"
MOMENTS = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]
