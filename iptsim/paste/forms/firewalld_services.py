"""The ports of firewalld's services (its config/services/*.xml), for IPv4; a protocol without ports has no number."""

from __future__ import annotations

_TEXT = """
ssh 22/tcp; http 80/tcp; https 443/tcp; http3 443/udp; dhcpv6-client; dhcpv6 547/udp; cockpit 9090/tcp
dns 53/tcp 53/udp; dns-over-tls 853/tcp; dhcp 67/udp; ntp 123/udp; ftp 21/tcp; tftp 69/udp; telnet 23/tcp
smtp 25/tcp; smtps 465/tcp; smtp-submission 587/tcp; imap 143/tcp; imaps 993/tcp; pop3 110/tcp; pop3s 995/tcp
ldap 389/tcp; ldaps 636/tcp; kerberos 88/tcp 88/udp; kadmin 749/tcp; kpasswd 464/tcp 464/udp; snmp 161/tcp 161/udp
snmptrap 162/tcp 162/udp; syslog 514/udp; samba 139/tcp 445/tcp 137/udp 138/udp; samba-client 137/udp 138/udp
nfs 2049/tcp; nfs3 2049/tcp 2049/udp; mountd 20048/tcp 20048/udp; rpc-bind 111/tcp 111/udp; rsyncd 873/tcp 873/udp
mysql 3306/tcp; postgresql 5432/tcp; redis 6379/tcp; mongodb 27017/tcp; elasticsearch 9300/tcp 9200/tcp
ipp 631/tcp 631/udp; ipp-client 631/udp; vnc-server 5900-5903/tcp; rdp 3389/tcp
openvpn 1194/udp; wireguard 51820/udp; ipsec /esp /ah 500/udp 4500/udp 4500/tcp; squid 3128/tcp
docker-registry 5000/tcp; docker-swarm 2377/tcp 7946/tcp 7946/udp 4789/udp /esp; kube-apiserver 6443/tcp
kube-control-plane 2379/tcp 2380/tcp 6443/tcp 10251/tcp 10252/tcp; kubelet 10250/tcp
kube-worker 10250/tcp 30000-32767/tcp
etcd-client 2379/tcp; etcd-server 2380/tcp; libvirt 16509/tcp; libvirt-tls 16514/tcp; grafana 3000/tcp
prometheus 9090/tcp; prometheus-node-exporter 9100/tcp
git 9418/tcp; svn 3690/tcp; mosh 60000-61000/udp; irc 6667/tcp; ircs 6697/tcp; jenkins 8080/tcp
transmission-client 51413/tcp 51413/udp; zabbix-agent 10050/tcp; zabbix-server 10051/tcp; xmpp-client 5222/tcp
xmpp-server 5269/tcp; sip 5060/tcp 5060/udp; sips 5061/tcp 5061/udp
high-availability 2224/tcp 3121/tcp 5403/tcp 5404/udp 5405-5412/udp 9929/tcp 9929/udp 21064/tcp
"""
#: The ports of each service: "22/tcp".
SERVICES: dict[str, tuple[str, ...]] = {
    name: tuple(ports)
    for entry in _TEXT.replace("\n", ";").split(";")
    if entry.strip()
    for name, *ports in [entry.split()]
}
#: For a multicast address alone, so nothing for any other packet.
SERVICES["mdns"] = ()
