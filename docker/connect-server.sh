#!/bin/sh
# The command of the image's target `spark`: a Spark Connect server. Arguments are spark-submit's (--driver-memory, --conf).
# Without a token Spark would answer whoever reaches the port, and run what it is sent; so there is no start without one.
set -eu

# An engine shows the variables of its containers to whoever may ask it; a mounted file is not shown.
token_file=/run/secrets/connect_token
if [ -z "${SPARK_CONNECT_AUTHENTICATE_TOKEN:-}" ] && [ -r "$token_file" ]; then
  SPARK_CONNECT_AUTHENTICATE_TOKEN=$(cat "$token_file")
  export SPARK_CONNECT_AUTHENTICATE_TOKEN
fi
if [ -z "${SPARK_CONNECT_AUTHENTICATE_TOKEN:-}" ]; then
  printf 'connect-server: no token: set SPARK_CONNECT_AUTHENTICATE_TOKEN, or mount a file at %s\n' "$token_file" >&2
  exit 2
fi
exec /opt/test_infra/packages/pyspark/bin/spark-submit "$@" \
  --class org.apache.spark.sql.connect.service.SparkConnectServer spark-internal
