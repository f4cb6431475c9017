#!/bin/sh
# A stand-in: answers as the service's programs do.
case "$1" in
    web) echo "Usage: daphne [OPTIONS] application" ;;
    celery-worker | celery-beat) echo "Usage: celery [OPTIONS]" ;;
    *) exec "$@" ;;
esac
