#!/bin/sh
# Save everything that determines what this host does with packets: rules, addresses, routes, sets, containers.
#
#   sudo sh collect.sh [--without-connections] [DIRECTORY | -]
#
# It writes DIRECTORY (by default iptsim-HOST-DATE) and DIRECTORY.tar.gz, or for - the archive alone, to standard
# output; nothing is sent anywhere. It changes nothing on the host, but has two unavoidable side effects:
# iptables-save, nft and ipset may load their kernel modules, and reading the connections loads
# nf_conntrack_netlink.
# Left out on purpose, as they may contain passwords: environment variables, labels and commands of containers,
# and settings of dockerd that do not affect packets. The capture does contain addresses, including those of
# peers, and the names of listening programs; --without-connections leaves out the current connections and
# neighbours. If it is interrupted or the disk is full, it leaves nothing behind.

set -u
umask 077
LC_ALL=C
export LC_ALL
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

connections=yes
if [ "${1:-}" = --without-connections ]; then
    connections=no
    shift
fi
case ${1:-} in
-) ;;
-*)
    echo "usage: $0 [--without-connections] [DIRECTORY | -]" >&2
    exit 2
    ;;
esac
if [ "$(id -u)" -ne 0 ]; then
    echo "$0: only root may read the rules; run it with sudo" >&2
    exit 2
fi
directory=iptsim-$(uname -n)-$(date +%Y%m%d-%H%M%S)
scratch=
if [ "${1:-}" = - ]; then
    scratch=$(mktemp -d) || exit 2
    directory=$scratch/$directory
else
    directory=${1:-$directory}
    directory=${directory%/}
fi
if [ -e "$directory.tar.gz" ] || ! mkdir "$directory"; then
    echo "$0: give the name of a directory that does not exist yet, nor DIRECTORY.tar.gz" >&2
    exit 2
fi
# give_up STATUS WORDS: print an error, remove everything and exit.
give_up() {
    trap '' INT TERM HUP
    rm -rf "$directory" "$directory.tar" "$directory.tar.gz" ${scratch:+"$scratch"}
    echo "$0: $2; nothing is saved" >&2
    exit "$1"
}
trap 'give_up 130 interrupted' INT
trap 'give_up 143 ended' TERM
trap 'give_up 129 "the terminal is gone"' HUP

# A busybox shell may prefer its own ip, which has no JSON output.
ip=ip
for folder in /bin /sbin /usr/bin /usr/sbin; do
    [ -x $folder/ip ] && ip=$folder/ip
done

say() { echo "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# have_room: check for a full disk, as not every program reports failed writes.
have_room() {
    dd if=/dev/zero of="$directory/.room" bs=4096 count=1 2>/dev/null || give_up 1 "the disk is full"
    rm -f "$directory/.room"
}

# save FILE COMMAND...: save the command's output, unless it fails.
save() {
    file=$1
    shift
    if ! have "$1"; then
        say "left out $file: there is no $1 here"
    elif "$@" >"$directory/$file" 2>"$directory/.error"; then
        have_room
        say "saved $file"
        return 0
    else
        say "left out $file: $1 said: $(head -n 1 "$directory/.error")"
        rm -f "$directory/$file"
    fi
    return 1
}

# json_text: standard input as a JSON string.
json_text() {
    tab=$(printf '\t')
    printf '"'
    tr -d '\000-\010\013-\037' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$tab/\\\\t/g" | awk '{ printf "%s\\n", $0 }'
    printf '"'
}

# json_list: lines as the elements of a JSON list.
json_list() {
    echo '['
    sed '$!s/$/,/'
    echo ']'
}

# json_or NOTHING COMMAND...: the command's output, or NOTHING if that is not JSON.
json_or() {
    nothing=$1
    shift
    printed=$("$@" 2>/dev/null)
    case $printed in
    '['* | '{'*) printf '%s\n' "$printed" ;;
    *) printf '%s\n' "$nothing" ;;
    esac
}

# -- the rules ----------------------------------------------------------------------------------------

# Base chains of nftables see the same packets. Where iptables is not installed, they are all rules.
have nft && save nft-ruleset.json nft -j list ruleset
save iptables-save.txt iptables-save -c || { ! have iptables-save && [ -e "$directory/nft-ruleset.json" ]; } ||
    give_up 1 "without the rules there is nothing to ask iptsim about"
save ip6tables-save.txt ip6tables-save -c
# The other backend's rules apply as well; read them only if it is in use. (Files in /proc have no size.)
[ -n "$(cat /proc/net/ip_tables_names 2>/dev/null)" ] && save iptables-legacy-save.txt iptables-legacy-save -c
[ -n "$(cat /proc/net/ip6_tables_names 2>/dev/null)" ] && save ip6tables-legacy-save.txt ip6tables-legacy-save -c
case $(iptables-save --version 2>/dev/null) in
*legacy*)
    save iptables-nft-save.txt iptables-nft-save -c
    save ip6tables-nft-save.txt ip6tables-nft-save -c
    ;;
esac
have ipset && save ipset-save.txt ipset save
if [ -d /proc/net/xt_recent ]; then
    {
        jiffies=$(awk '/^jiffies:/ { print $2; exit }' /proc/timer_list 2>/dev/null)
        uptime=$(cut -d ' ' -f 1 /proc/uptime)
        [ -n "$jiffies" ] && echo "# jiffies $jiffies uptime $uptime"
        for list in /proc/net/xt_recent/*; do
            [ -f "$list" ] && echo "== ${list##*/}" && cat "$list"
        done
    } >"$directory/xt-recent.txt"
    say "saved xt-recent.txt"
fi

# -- interfaces, addresses, routes --------------------------------------------------------------------

save ip-addr.json "$ip" -j addr
save ip-link.json "$ip" -j -d link
save ip-route.json "$ip" -j -4 route show table all
save ip6-route.json "$ip" -j -6 route show table all
save ip-rule.json "$ip" -j -4 rule
save ip6-rule.json "$ip" -j -6 rule
save bridge-link.json bridge -j -d link
save bridge-fdb.json bridge -j fdb
if [ $connections = yes ]; then
    save ip-neigh.json "$ip" -j neigh
    # Only where connections are tracked anyway.
    [ -e /proc/sys/net/netfilter/nf_conntrack_count ] && save conntrack.txt conntrack -L
fi

# sysctls: as sysctl prints them, with a slash for a dot in an interface's name.
sysctls() {
    for name in net/ipv4/ip_forward net/ipv4/ip_default_ttl net/ipv4/ip_local_port_range net/ipv4/fwmark_reflect \
        net/ipv6/fwmark_reflect \
        net/bridge/bridge-nf-call-iptables net/bridge/bridge-nf-call-ip6tables \
        net/bridge/bridge-nf-call-arptables net/bridge/bridge-nf-filter-vlan-tagged \
        net/netfilter/nf_conntrack_tcp_loose net/netfilter/nf_conntrack_tcp_be_liberal \
        net/netfilter/nf_conntrack_checksum net/netfilter/nf_conntrack_acct \
        net/netfilter/nf_conntrack_helper; do
        [ -r "/proc/sys/$name" ] && echo "$(echo "$name" | tr / .) = $(cat "/proc/sys/$name")"
    done
    for folder in /proc/sys/net/ipv4/conf/* /proc/sys/net/ipv6/conf/*; do
        version=${folder#/proc/sys/net/}
        interface=$(echo "${folder##*/}" | tr . /)
        for name in forwarding rp_filter route_localnet accept_local src_valid_mark send_redirects \
            force_forwarding ignore_routes_with_linkdown proxy_arp disable_ipv6 use_tempaddr; do
            [ -r "$folder/$name" ] && echo "net.${version%%/*}.conf.$interface.$name = $(cat "$folder/$name")"
        done
    done
}
sysctls >"$directory/sysctl.txt"
say "saved sysctl.txt"

# Which programs listen, and on which addresses.
save ss.txt ss -H -lntup

# -- Docker and Podman --------------------------------------------------------------------------------

# Only the properties of networks and containers that iptsim reads: no labels, no other options.
options='{{$c := ""}}{{range $name, $value := .Options}}{{if eq $name "parent"'
for name in bridge.default_bridge bridge.name bridge.enable_icc bridge.enable_ip_masquerade bridge.host_binding_ipv4 \
    bridge.gateway_mode_ipv4 bridge.gateway_mode_ipv6 bridge.trusted_host_interfaces bridge.inhibit_ipv4 \
    host_ipv4 host_ipv6; do
    options="$options \"com.docker.network.$name\""
done
options=$options'}}{{$c}}{{json $name}}:{{json $value}}{{$c = ","}}{{end}}{{end}}'
docker_network='{"Name":{{json .Name}},"Id":{{json .ID}},"Driver":{{json .Driver}},"Internal":{{json .Internal}},'
docker_network=$docker_network'"Created":{{json .Created}},"IPAM":{"Config":[{{range $i, $pool := .IPAM.Config}}'
docker_network=$docker_network'{{if $i}},{{end}}{"Subnet":{{json $pool.Subnet}},"Gateway":{{json $pool.Gateway}}}{{end}}]},'
docker_network=$docker_network'"Containers":{ {{$c := ""}}{{range $id, $one := .Containers}}{{$c}}{{$c = ","}}{{json $id}}:'
docker_network=$docker_network'{"Name":{{json $one.Name}},"MacAddress":{{json $one.MacAddress}},"IPv4Address":'
docker_network=$docker_network'{{json $one.IPv4Address}},"IPv6Address":{{json $one.IPv6Address}}}{{end}}},"Options":{ '$options'}}'
# Podman prints a subnet as text, but outside its network, JSON has no text for it.
podman_network='{"name":{{json .Name}},"id":{{json .ID}},"driver":{{json .Driver}},'
podman_network=$podman_network'"network_interface":{{json .NetworkInterface}},"internal":{{json .Internal}},'
podman_network=$podman_network'"subnets":[{{range $i, $pool := .Subnets}}{{if $i}},{{end}}{"subnet":"{{$pool.Subnet}}",'
podman_network=$podman_network'"gateway":"{{if $pool.Gateway}}{{$pool.Gateway}}{{end}}"}{{end}}],"options":{ '$options'}}'
# Here, Docker's client uses the plain JSON, where unset members are missing; Podman's uses its own types.
docker_endpoint='' podman_endpoint=''
for name in IPAddress IPPrefixLen Gateway GlobalIPv6Address GlobalIPv6PrefixLen IPv6Gateway MacAddress NetworkID \
    Aliases Links DNSNames GwPriority; do
    docker_endpoint="$docker_endpoint,\"$name\":{{json (index \$one \"$name\")}}"
    case $name in
    DNSNames | GwPriority) ;;
    *) podman_endpoint="$podman_endpoint,\"$name\":{{json \$one.$name}}" ;;
    esac
done
endpoints='"Networks":{ {{$c := ""}}{{range $name, $one := .NetworkSettings.Networks}}{{$c}}{{$c = ","}}{{json $name}}:{'
docker_container='{"Id":{{json .Id}},"Name":{{json .Name}},'
docker_container=$docker_container'"State":{"Running":{{json .State.Running}},"StartedAt":{{json .State.StartedAt}}},'
docker_container=$docker_container'"HostConfig":{"NetworkMode":{{json .HostConfig.NetworkMode}},'
docker_container=$docker_container'"PortBindings":{{json (index .HostConfig "PortBindings")}},'
docker_container=$docker_container'"Links":{{json (index .HostConfig "Links")}},"Dns":{{json (index .HostConfig "Dns")}}},'
docker_container=$docker_container'"Config":{"ExposedPorts":{{json (index .Config "ExposedPorts")}}},'
docker_container=$docker_container'"NetworkSettings":{"Ports":{{json .NetworkSettings.Ports}},'
docker_container=$docker_container$endpoints${docker_endpoint#,}'}{{end}}}}}'
podman_container='{"Id":{{json .ID}},"Name":{{json .Name}},"State":{"Running":{{json .State.Running}}},'
podman_container=$podman_container'"HostConfig":{"NetworkMode":{{json .HostConfig.NetworkMode}},'
podman_container=$podman_container'"Links":{{json .HostConfig.Links}},"Dns":{{json .HostConfig.Dns}}},'
podman_container=$podman_container'"NetworkSettings":{"Ports":{{json .NetworkSettings.Ports}},'
podman_container=$podman_container$endpoints${podman_endpoint#,}'}{{end}}}}}'

# containers ENGINE TEMPLATE, networks ENGINE TEMPLATE: the output of `inspect` for all of them.
containers() {
    ids=$("$1" ps -aq --no-trunc) || return 1
    # shellcheck disable=SC2086 # one word per ID
    [ -z "$ids" ] || lines=$("$1" inspect --type container -f "$2" $ids) || return 1
    if [ -n "$ids" ]; then printf '%s\n' "$lines" | json_list; else echo '[]'; fi
}
networks() {
    ids=$("$1" network ls -q) || return 1
    # shellcheck disable=SC2086
    lines=$("$1" network inspect -f "$2" $ids) || return 1
    printf '%s\n' "$lines" | json_list
}
bridge_name='{{with index .Options "com.docker.network.bridge.name"}}{{.}}{{else}}br-{{printf "%.12s" .ID}}{{end}}'
# is_here: whether a bridge of Docker's networks is in this namespace, so that its rules are, too.
is_here() {
    ids=$(docker network ls -q --filter driver=bridge)
    # shellcheck disable=SC2086
    bridges=$([ -z "$ids" ] || docker network inspect -f "$bridge_name" $ids)
    for bridge in $bridges; do
        "$ip" link show dev "$bridge" >/dev/null 2>&1 && return 0
    done
    [ -z "$bridges" ]
}
docker_info() {
    version=$(docker info -f '{{json .ServerVersion}}') || return 1
    backend=$(docker info -f '{{json .FirewallBackend}}' 2>/dev/null) || backend=null
    restore=$(docker info -f '{{json .LiveRestoreEnabled}}')
    printf '{"ServerVersion":%s,"FirewallBackend":%s,"LiveRestoreEnabled":%s}\n' "$version" "$backend" "$restore"
}
if ! have docker || ! docker version >"$directory/docker-version.txt" 2>/dev/null; then
    rm -f "$directory/docker-version.txt"
    have docker && say "left out what docker knows: no daemon answers"
elif ! is_here; then
    rm -f "$directory/docker-version.txt"
    say "left out what docker knows: none of its bridges is in this network namespace; its daemon is elsewhere"
else
    say "saved docker-version.txt"
    save docker-info.json docker_info
    save docker-network-inspect.json networks docker "$docker_network"
    save docker-inspect.json containers docker "$docker_container"
fi
if have podman; then
    save podman-network-inspect.json networks podman "$podman_network"
    save podman-inspect.json containers podman "$podman_container"
fi

# network_options: filter standard input, one word per line, for options that affect packets.
known='userland-proxy icc iptables ip6tables ip-forward ip-forward-no-drop ip-masq ipv6 allow-direct-routing
    bridge bip bip6 fixed-cidr fixed-cidr-v6 ip default-gateway firewall-backend live-restore dns
    default-address-pools default-address-pool'
network_options() {
    awk -v known="$known b" '
        BEGIN {
            count = split(known, names, /[ \n]+/)
            for (i = 1; i <= count; i++) wanted[names[i]] = 1
            split("userland-proxy icc iptables ip6tables ip-forward ip-forward-no-drop ip-masq ipv6 " \
                "allow-direct-routing live-restore", switches, " ")
            for (i in switches) is_switch[switches[i]] = 1
        }
        value { print; value = 0; next }
        /^-/ {
            name = $0
            sub(/^--?/, "", name)
            given = sub(/=.*/, "", name)
            if (name in wanted) {
                print
                value = !given && !(name in is_switch)
            }
        }'
}
# Not a dockerd that runs in a container.
here=$(readlink /proc/self/ns/net)
for process in /proc/[0-9]*; do
    if [ "$(cat "$process/comm" 2>/dev/null)" = dockerd ] && [ "$(readlink "$process/ns/net")" = "$here" ]; then
        {
            printf 'dockerd'
            tr '\000' '\n' <"$process/cmdline" | network_options | while read -r word; do printf ' %s' "$word"; done
            echo
        } >"$directory/dockerd-cmdline.txt"
        say "saved dockerd-cmdline.txt"
        break
    fi
done
if [ -r /etc/default/docker ]; then
    sed -n 's/^[ \t]*\(export[ \t][ \t]*\)\{0,1\}DOCKER_OPTS=//p' /etc/default/docker | tr -d "\"'" | tr -s ' \t' '\n\n' |
        network_options | awk '{ words = words " " $0 } END { print "DOCKER_OPTS=\"" words "\"" }' \
        >"$directory/default-docker"
    say "saved default-docker"
fi
# daemon.json: its known top-level members, found by scanning the characters.
if [ -r /etc/docker/daemon.json ]; then
    tr '\n\t\r' '   ' </etc/docker/daemon.json | awk -v known="$known" '
        function member() {
            if (key in wanted) out = out (out == "" ? "" : ",\n ") "\"" key "\": " text
            key = text = ""
        }
        BEGIN {
            count = split(known, names, /[ \n]+/)
            for (i = 1; i <= count; i++) wanted[names[i]] = 1
        }
        {
            for (i = 1; i <= length($0); i++) {
                c = substr($0, i, 1)
                if (quoted) {
                    text = text c
                    if (escaped) escaped = 0
                    else if (c == "\\") escaped = 1
                    else if (c == "\"") quoted = 0
                    continue
                }
                if (c == "\"") quoted = 1
                if ((c == "{" || c == "[") && depth++ == 0) continue
                if ((c == "}" || c == "]") && --depth == 0) { member(); continue }
                if (depth == 1 && c == ",") { member(); continue }
                if (depth == 1 && c == ":" && key == "") {
                    key = text
                    gsub(/^[ ]*"|"[ ]*$/, "", key)
                    text = ""
                    continue
                }
                text = text c
            }
        }
        END { print "{" out "}" }' >"$directory/daemon.json"
    say "saved daemon.json"
fi

# -- network namespaces of containers and other guests -------------------------------------------------

# namespace NAME RESOLV_CONF COMMAND...: the state of the namespace that COMMAND enters, as a member of a JSON object.
namespace() {
    name=$1
    resolv=$2
    shift 2
    printf '%s' "$separator"
    separator=','
    printf '%s' "$name" | json_text | tr -d '\n' | sed 's/\\n"$/"/'
    printf ': {\n "addr": '
    json_or '[]' "$@" "$ip" -j addr
    printf ', "route": '
    json_or '[]' "$@" "$ip" -j -4 route show table all
    printf ', "route6": '
    json_or '[]' "$@" "$ip" -j -6 route show table all
    printf ', "rule": '
    json_or '[]' "$@" "$ip" -j -4 rule
    printf ', "rule6": '
    json_or '[]' "$@" "$ip" -j -6 rule
    printf ', "iptables-save": '
    "$@" iptables-save -c 2>/dev/null | json_text
    printf ', "ip6tables-save": '
    "$@" ip6tables-save -c 2>/dev/null | json_text
    if sockets=$("$@" ss -H -lntup 2>/dev/null); then
        printf ', "sockets": '
        printf '%s\n' "$sockets" | json_text
    fi
    if [ -n "$resolv" ] && [ -r "$resolv" ]; then
        printf ', "resolv.conf": '
        json_text <"$resolv"
    fi
    echo '}'
}
guests() {
    separator=''
    seen=" $here "
    echo '{'
    for engine in docker podman; do
        [ -e "$directory/$engine-inspect.json" ] || continue
        for id in $("$engine" ps -q --no-trunc); do
            # shellcheck disable=SC2046
            set -- $("$engine" inspect --type container -f '{{.State.Pid}} {{.Name}} {{.ResolvConfPath}}' "$id")
            inside=$(readlink "/proc/$1/ns/net") || continue
            case $seen in
            *" $inside "*) continue ;;
            esac
            seen="$seen$inside "
            namespace "${2#/}" "${3:-}" nsenter -t "$1" -n
        done
    done
    for path in /run/netns/*; do
        [ -e "$path" ] || continue
        # shellcheck disable=SC2012
        inside="net:[$(ls -i "$path" | awk '{ print $1 }')]"
        case $seen in
        *" $inside "*) continue ;;
        esac
        # a name may be left over from a namespace that another mount namespace holds
        "$ip" netns exec "${path##*/}" true 2>/dev/null || continue
        namespace "${path##*/}" "" "$ip" netns exec "${path##*/}"
    done
    echo '}'
}
if have nsenter; then
    save container-netns.json guests
else
    say "left out container-netns.json: there is no nsenter here"
fi

# -- pack ----------------------------------------------------------------------------------------------

rm -f "$directory/.error"
have_room
# iptsim expects the files at the top level of an archive, or in one directory.
tar -C "$(dirname "$directory")" -cf "$directory.tar" "$(basename "$directory")" && gzip "$directory.tar" ||
    give_up 1 "$directory.tar.gz can't be written"
if [ -n "$scratch" ]; then
    cat "$directory.tar.gz" || give_up 1 "the archive can't be written"
    rm -rf "$scratch"
else
    say "packed $directory.tar.gz: give that to iptsim"
fi
