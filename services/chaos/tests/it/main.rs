//! A whole house under faults, for a short while.

mod short_run;
