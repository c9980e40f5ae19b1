#!/bin/sh
# The GraphQL client of Python (https://github.com/graphql-python/gql) that tests/clients goes a fan's way with; prints its folder.
exec "$(dirname "$0")/pypi.sh" gql 4.4.0 '[aiohttp,websockets]'
