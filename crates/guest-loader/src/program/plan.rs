//! The plan as the loader reads it.

use crate::protocol::{FAILED_PLAN, MAX_PLAN_LEN, PLAN_MAGIC, PLAN_VERSION, PlanHeader, SegmentRecord};
use crate::{Failure, sys};

/// A plan in the work area. The supervisor wrote it and checked it; offsets are believed.
pub(crate) struct Plan {
    base: *const u8,
}

impl Plan {
    /// Asks the supervisor for the plan.
    pub(crate) fn fetch(work: *mut u8, role: u64, signal_page: u64) -> Result<Self, Failure> {
        // SAFETY: the lower MAX_PLAN_LEN bytes of the work area are the plan's, and no plan of before is
        // alive.
        let answer = unsafe { sys::info(work, role, signal_page) };
        let len = answer.map_err(|errno| Failure { step: FAILED_PLAN, errno, index: 0 })?;
        let plan = Self { base: work };
        let header = plan.header();
        let fits = len >= size_of::<PlanHeader>() as u64 && len <= MAX_PLAN_LEN as u64;
        let known = header.magic == PLAN_MAGIC && header.version == PLAN_VERSION;
        if fits && known && u64::from(header.total_len) == len {
            Ok(plan)
        } else {
            Err(Failure { step: FAILED_PLAN, errno: sys::EINVAL, index: 1 })
        }
    }

    pub(crate) fn header(&self) -> &PlanHeader {
        // SAFETY: the area is page aligned, larger than a header and initialised (zeroes at first), and
        // every bit pattern is a header.
        unsafe { &*self.base.cast::<PlanHeader>() }
    }

    pub(crate) fn segments(&self) -> &[SegmentRecord] {
        let header = self.header();
        let first = self.base.wrapping_add(header.segments_off as usize).cast::<SegmentRecord>();
        // SAFETY: the encoder placed `segment_count` records at that offset, a multiple of 8.
        unsafe { core::slice::from_raw_parts(first, header.segment_count as usize) }
    }

    /// Address of a string or of anything else in the plan.
    pub(crate) fn address(&self, offset: u32) -> u64 {
        (self.base as u64).wrapping_add(u64::from(offset))
    }
}
