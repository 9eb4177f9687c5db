// A stand-in for NVIDIA's driver and compiler: a library with the functions of libcuda and of NVRTC that naru uses, for
// tests of the code that calls them. It is strict where a device would be lenient, so that what is wrong there shows
// here:
//
//   - what is queued is done in cuStreamSynchronize() and not before, by the pointers that it was given: a source that
//   was
//     overwritten too early, or memory that was given back too early, is seen;
//   - fresh memory is full of 0xab; memory of a device is limited; contexts belong to threads, and a driver to a
//   process;
//   - of a launch the number of parameters is counted up to the nullptr that ends the list.
//
// Kernels run through an OpenCL driver (PoCL), from the same text, where there is one; else launches do nothing.
//
// Environment: NARU_STANDIN_INIT=N: cuInit() fails with N. NARU_STANDIN_MEMORY=MIB of each device (1024).
// NARU_STANDIN_FAIL_QUEUED=N:CODE: as standin_fail_queued(N, CODE), for a program that knows nothing of this library.
// NARU_STANDIN_HANG_QUEUED=N: the N-th thing that is queued never ends.
// NARU_STANDIN_REPLACE=A=>B: the compiler reads B in the place of the first A of a text. What the text has in C for
// instructions of int8 passes for instructions here (text/int8.cl).
#pragma once

#include <cstddef>

extern "C" {
// All counters from 0, no faults, no error that stays.
void standin_reset();
// The n-th call from the last reset on (from 1) fails with this code; calls that give something back are not counted.
void standin_fail_call(int n, int code);
// The n-th thing that is queued from the last reset on fails when it is done, and so does every call from there on.
void standin_fail_queued(int n, int code);
// Calls since the last reset, and the name of the one that failed; "" where none did.
int standin_calls();
const char* standin_failed_call();
// What was made and not given back, in words: "2 allocations, 1 stream"; "" where nothing is.
const char* standin_live();
// The last launch: "add grid 3 2 1 block 64 1 1 parameters 8".
const char* standin_last_launch();
// Of its parameters the 8 bytes of one.
unsigned long long standin_parameter(int i);
// The options of the last program that was compiled, with spaces; how many were since the last reset.
const char* standin_options();
int standin_compiled();
// Whether launches compute.
int standin_computes();
}
