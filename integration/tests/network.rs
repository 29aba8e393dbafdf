//! Servers and their clients over loopback: the same output and status under Palisade as in a chroot in a network
//! namespace of its own.

use integration::{roots, runner};

/// What the scripts share.
const COMMON: &str = include_str!("../scripts/network/common.sh");

macro_rules! network {
    ($($name:ident = $file:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let script = [COMMON, include_str!(concat!("../scripts/network/", $file))].concat();
                runner::assert_same_script(&roots::everyday(), &script);
            }
        )*
    };
}

network! {
    nginx_serves_under_load_and_reloads = "nginx.sh";
    redis_keeps_what_it_wrote_through_a_kill = "redis.sh";
    postgresql_recovers_from_a_killed_postmaster = "postgresql.sh";
    mariadb_answers_clients_and_recovers = "mariadb.sh";
    memcached_serves_many_clients = "memcached.sh";
    http_servers_of_languages_serve_under_load = "http_servers.sh";
    curl_wget_and_git_transfer = "transfers.sh";
    ssh_runs_commands_copies_and_forwards = "ssh.sh";
    iperf_sends_both_ways = "iperf.sh";
    datagrams_groups_errors_and_raw_packets_are_as_on_lo = "datagrams.sh";
    dnsmasq_answers_dig_and_the_c_library = "dns.sh";
}
