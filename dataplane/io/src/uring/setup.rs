//! Making a ring: the best set of flags the kernel takes. Called once, at open.

use std::io;

use io_uring::{Builder, IoUring};

/// Makes a ring of `submissions` and `completions` entries.
///
/// Errors: the reason the plainest ring was refused (ENOSYS, or EPERM where a container forbids
/// io_uring).
pub(crate) fn build(submissions: u32, completions: u32) -> io::Result<IoUring> {
    let mut refused = io::Error::from(io::ErrorKind::Unsupported);
    for prepare in [newest, deferred, plain] {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(completions).setup_submit_all();
        prepare(&mut builder);
        match builder.build(submissions) {
            Ok(ring) => return Ok(ring),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Linux 6.6: no indirection array between us and the submissions.
fn newest(builder: &mut Builder) {
    deferred(builder);
    builder.setup_no_sqarray();
}

/// Linux 6.1: completions are made on our thread only when it asks for them.
fn deferred(builder: &mut Builder) {
    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
}

/// Linux 5.19: completions are made at our next system call instead of by an interrupt.
fn plain(builder: &mut Builder) {
    builder.setup_coop_taskrun().setup_taskrun_flag();
}
