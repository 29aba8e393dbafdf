//! TCP_INFO (tcp_get_info): what a connection over lo looks like when nothing is ever lost.

pub(super) const TCP_INFO: i32 = 11;
/// `struct tcp_info` of Linux v6.18.
const SIZE: usize = 248;

/// Offsets and values of its words that are not 0: times in microseconds, sizes in bytes.
const WORDS: &[(usize, u32)] = &[
    // tcpi_rto, tcpi_ato, tcpi_snd_mss, tcpi_rcv_mss.
    (8, 200_000),
    (12, 40_000),
    (16, 32_768),
    (20, 32_768),
    // tcpi_pmtu, tcpi_rcv_ssthresh, tcpi_rtt, tcpi_rttvar.
    (60, 65_535),
    (64, 65_483),
    (68, 20),
    (72, 10),
    // tcpi_snd_ssthresh, tcpi_snd_cwnd, tcpi_advmss, tcpi_reordering, tcpi_rcv_space.
    (76, 0x7fff_ffff),
    (80, 10),
    (84, 65_483),
    (88, 3),
    (96, 65_483),
];

/// The structure for a socket in this state.
pub(super) fn tcp_info(state: u8) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    for (at, value) in WORDS {
        if let Some(to) = bytes.get_mut(*at..at + 4) {
            to.copy_from_slice(&value.to_ne_bytes());
        }
    }
    // tcpi_state; tcpi_options: timestamps, SACK, window scaling; both scales.
    let head = [state, 0, 0, 0, 0, 7, 0x77, 0];
    if let Some(to) = bytes.get_mut(..8) {
        to.copy_from_slice(&head);
    }
    bytes
}
