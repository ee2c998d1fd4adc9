#!/bin/sh
# Runs what it is given: `rabbitmq-server`, `rabbitmqctl ...`, `bash`; flags are for the broker.
case ${1:--} in
  -*) exec lepus "$@" ;;
  *) exec "$@" ;;
esac
