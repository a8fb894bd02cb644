#!/bin/sh
# HAProxy as Serve starts it, with one change: until Serve has told it of an application it says 503,
# which clients and gateways try again, and not 404. Ours is at /, so nothing else is ever not found.
for word; do
  if [ "$before" = -f ]; then
    sed -i 's/^    http-request return status 404 /    http-request return status 503 /' "$word"
  fi
  before=$word
done
exec "$GLM_HAPROXY" "$@"
