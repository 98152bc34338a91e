//! Every decoder as a function of bytes.
