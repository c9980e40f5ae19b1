#!/bin/sh
# A stand-in for Stripe's API (https://github.com/adrienverge/localstripe) that the tests of our client talk to; prints its folder.
exec "$(dirname "$0")/pypi.sh" localstripe 1.15.10
