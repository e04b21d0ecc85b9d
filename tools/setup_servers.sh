#!/bin/sh
# Installs the real servers that the tests start: RabbitMQ, Redis, PostgreSQL from the system's packages,
# Kafka's jars from Maven into ~/.cache/gateway_lab; NATS comes with requirements.lock. Also the
# browser that opens the route designer. Done again, it only looks. Without root it says what to install.
set -eu
cd "$(dirname "$0")/.."

packages=""
need() { # need FILE PACKAGE: one of the commands of a package, or the file of one that is not on PATH
    command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
need redis-server redis-server
need /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql
need java default-jre-headless
need chromium chromium

cache="${XDG_CACHE_HOME:-$HOME/.cache}/gateway_lab/kafka"
version=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' tools/kafka/pom.xml)
jar="$cache/kafka_2.13-$version.jar"
[ -e "$jar" ] || need mvn maven

if [ -n "$packages" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "The servers of the tests are not all here. Install:$packages" >&2
        echo "hint: sudo apt-get install$packages" >&2
        exit 1
    fi
    echo "Installing$packages …"
    # policy-rc.d keeps the packages from starting daemons of their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    wait="-o DPkg::Lock::Timeout=300"
    # shellcheck disable=SC2086 # both are lists of words
    { apt-get update -q && apt-get install -q -y --no-install-recommends $wait $packages; } >&2
fi

if [ ! -e "$jar" ]; then
    echo "Fetching Kafka $version …"
    rm -rf "$cache" "$cache.part"
    mvn -q -B -f tools/kafka/pom.xml dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$cache.part" >&2
    mv "$cache.part" "$cache"
fi
