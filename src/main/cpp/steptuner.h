// SPDX-License-Identifier: Apache-2.0
//
// The C ABI of Step Tuner: the only door between the JVM and the kernels. Any language that can call C can use it.
//
// A *device* runs sweeps (the CPU, or a GPU through a backend library). A *plan* lays a list of tensors out in chunks and owns the
// state arenas ("slots") of one optimizer. A *kernel* is one formula as one pass over memory; *binding* a kernel to a plan fixes
// which slot each of its operands is, and allots its coefficients (inputs, one row per segment) and sums (outputs, likewise).
// A *segment* is a set of consecutive tensors that share coefficients and sums.
//
// Every function that can fail returns an st_status; st_last_error() then explains it, for the calling thread, until its next failure.
// Messages call a tensor or slot #N, by its number in the plan. Whatever floating-point environment the calling thread has, results do
// not depend on it, and it is as before when a call returns. Nothing here prints, throws, or ends the process. A plan may be used by one
// thread at a time.
#pragma once
#include <stdint.h>

#if defined(__GNUC__)
#define ST_API __attribute__((visibility("default")))
#else
#define ST_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum { ST_ABI_VERSION = 6 };

typedef enum st_status {
  ST_OK = 0,
  ST_BAD_ARGUMENT = 1,   // the caller's mistake
  ST_OUT_OF_MEMORY = 2,  // host or device memory
  ST_NO_DEVICE = 3,      // no such device, no driver, or no library for it
  ST_DEVICE_ERROR = 4,   // the device failed while working
  ST_BAD_STATE = 5       // not now: the stream is being captured into a graph, which cannot hold this
} st_status;

typedef enum st_type { ST_FLOAT32 = 0, ST_FLOAT64 = 1, ST_BFLOAT16 = 2, ST_FLOAT16 = 3 } st_type;

// What the elements of a slot are. Of a tensor that is computed in float64 they are float64 in the first three, and there is no rest.
typedef enum st_storage {
  ST_COMPUTED = 0,      // of the type that the tensor is computed in
  ST_HALF = 1,          // bfloat16, which is rounded stochastically
  ST_AS_PARAMETER = 2,  // bfloat16 beside bfloat16 parameters, as ST_HALF; as ST_COMPUTED beside others
  ST_REST = 3           // see ST_IN_PARTS; 16 bits beside bfloat16 parameters, nothing beside others
} st_storage;

// How 16-bit parameters are rounded by sweeps that read and write them. Those that only write them round to the nearest.
typedef enum st_rounding {
  ST_NEAREST = 0,
  ST_STOCHASTIC = 1,  // with random bits that are a hash of seed, kernel, step, key of the tensor and number of the element
  ST_IN_PARTS = 2     // not at all: a bfloat16 parameter is the nearest to a float32, and a slot of ST_REST holds what is left of that
} st_rounding;

ST_API int32_t st_abi_version(void);
// "FLOAT32" for ST_FLOAT32 and so on; NULL for a number that is no type.
ST_API const char* st_type_name(int32_t type);
ST_API const char* st_last_error(void);

// Opens the CPU (library = NULL) with `threads` threads (0: one per processor) and instruction set `isa` (NULL or "": the best; else
// "sse2", "avx2", "avx512"), or device `index` of the backend in the shared library at path `library`.
ST_API st_status st_device_open(const char* library, int32_t index, int32_t threads, const char* isa, int64_t* device);
ST_API void st_device_close(int64_t device);
// Lives as long as the device.
ST_API const char* st_device_name(int64_t device);
// Host threads for the CPU; 0 for other devices.
ST_API int32_t st_device_threads(int64_t device);

// Host memory for any use, aligned for every type and not cleared; freed by st_host_free, which ignores 0.
ST_API st_status st_host_allocate(int64_t bytes, int64_t* address);
ST_API void st_host_free(int64_t address);

// The kernel of sweep `sweep` over rule `rule` ("" for a sweep without one), or -1. The first of these calls makes the list of kernels:
// where there is no memory for it they give -1, -1 and NULL, and can be made again. st_last_error says why a kernel is not found.
ST_API int32_t st_kernel_find(const char* sweep, const char* rule);
ST_API int32_t st_kernel_count(void);
// "sweep|rule|operand:place:access,...|coefficient,...|sum,...": place is gradient, parameter, update, state or selection, access is r, w,
// rw or, for a selection, empty. No name stands twice in one of the lists. Constant for the life of the process.
ST_API const char* st_kernel_describe(int32_t kernel);

// Tensor arrays have one entry per tensor. Addresses are on the device; `updates` may be NULL. Segments are numbered from 0 without
// gaps and do not decrease from tensor to tensor. `storage` has an st_storage for each of the `slots` (NULL: all are ST_COMPUTED). `verify`
// != 0: refuse ranges that this process cannot read and write (CPU only).
ST_API st_status st_plan_create(int64_t device, int32_t tensors, const int64_t* parameters, const int32_t* parameter_types,
                                const int64_t* gradients, const int32_t* gradient_types, const int64_t* updates, const int64_t* counts,
                                const int32_t* segments, int32_t slots, const int32_t* storage, int32_t verify, int64_t* plan);
ST_API void st_plan_destroy(int64_t plan);
// Moves `count` tensors, those that `tensors` numbers (NULL: all of them, in their order), to other addresses. An array that is NULL leaves
// its addresses as they are. All is checked before anything changes, as if all tensors moved at once; only what differs from the addresses
// so far is looked at, and where nothing does, nothing is done.
ST_API st_status st_plan_rebind(int64_t plan, int32_t count, const int32_t* tensors, const int64_t* parameters, const int64_t* gradients,
                                const int64_t* updates, int32_t verify);
// Sets all gradients to 0, but for those whose address is 0. On a GPU it is only enqueued on `stream`. `verify` != 0: the first time after
// gradients have moved, refuse those that this process cannot write, with nothing zeroed (CPU only).
ST_API st_status st_plan_zero_gradients(int64_t plan, int64_t stream, int32_t verify);
// Which tensors sweeps go over from now on, one entry per tensor: those with 0 are left as they are, with whatever their gradients hold,
// and add nothing to sums. At first it is all. st_plan_fill, st_plan_read and st_plan_write go to any tensor.
ST_API st_status st_plan_set_present(int64_t plan, const int32_t* present);
// One more slot, zeroed, that lives as long as the plan.
ST_API st_status st_plan_add_slot(int64_t plan, int32_t storage, int32_t* slot);
// How 16-bit parameters are rounded by kernels that are bound from now on, an st_rounding, and what random bits depend on. `keys` has a
// number for each tensor (NULL: all 0), `begins` the number of its first element in the tensor that it is a piece of, a multiple of 4096
// (NULL: all 0). `rest` is the slot of ST_REST, or -1 where the rounding is not ST_IN_PARTS.
ST_API st_status st_plan_set_rounding(int64_t plan, int32_t rounding, int32_t rest, int64_t seed, const int64_t* keys,
                                      const int64_t* begins);
// The step whose random bits the next sweeps take; 0 at first.
ST_API void st_plan_set_step(int64_t plan, int64_t step);
// Sets every element of a slot, to the nearest number of its type. On a GPU it is only enqueued on `stream`, before what comes after it
// there. A slot of ST_REST can only be set to 0.
ST_API st_status st_plan_fill(int64_t plan, int32_t slot, double value, int64_t stream);
// Frees a slot, after the plan's work so far. Its number stays taken: whatever uses it from then on is refused.
ST_API st_status st_plan_release_slot(int64_t plan, int32_t slot);
// Bytes of one tensor in a slot, or in the parameters (slot -1); -1 if there is no such slot or tensor.
ST_API int64_t st_plan_bytes(int64_t plan, int32_t slot, int32_t tensor);
// The st_type of a tensor's elements in a slot, or in the parameters (slot -1); -1 if there is no such slot or tensor. ST_BFLOAT16 for a
// slot of ST_REST, whose elements are no numbers.
ST_API int32_t st_plan_type(int64_t plan, int32_t slot, int32_t tensor);
// Where a tensor's elements lie in a slot, on the device, until the slot is released or the plan destroyed; 0 if there is no such slot or
// tensor.
ST_API int64_t st_plan_address(int64_t plan, int32_t slot, int32_t tensor);
// Copies `bytes` bytes from byte `offset` of a tensor in a slot (or the parameters: slot -1) to host memory, or back.
ST_API st_status st_plan_read(int64_t plan, int32_t slot, int32_t tensor, int64_t offset, void* host, int64_t bytes, int64_t stream);
ST_API st_status st_plan_write(int64_t plan, int32_t slot, int32_t tensor, int64_t offset, const void* host, int64_t bytes, int64_t stream);

// `slots` names, for each operand of the kernel in its order, the slot it lives in; entries of operands that are not state are ignored.
ST_API st_status st_plan_bind(int64_t plan, int32_t kernel, const int32_t* slots, int32_t operands, int32_t* binding);
// Frees a binding with its coefficients and sums, after the plan's work so far. Whatever uses its number is refused until a new binding
// gets it.
ST_API st_status st_binding_release(int64_t plan, int32_t binding);
// double[segments][coefficients], to be filled before st_sweep; host memory that lives as long as the binding. This and the next two give
// 0, 0 and -1 if there is no such binding.
ST_API int64_t st_binding_coefficients(int64_t plan, int32_t binding);
// double[segments][sums], valid after st_sweep and st_wait.
ST_API int64_t st_binding_sums(int64_t plan, int32_t binding);
// Bytes that one run of this binding reads and writes in the tensors' memory.
ST_API int64_t st_binding_bytes(int64_t plan, int32_t binding);

// Runs a bound kernel over all tensors. On a GPU it is only enqueued on `stream`; st_wait makes its sums readable. While `stream` is being
// captured into a CUDA graph, a kernel without sums becomes part of the graph, with the coefficients of now, if it has been swept before and no
// tensor has moved since; anything else is refused with nothing launched. Whoever launches the graph orders it with other work of the plan.
ST_API st_status st_sweep(int64_t plan, int32_t binding, int64_t stream);
// The same, and then a second bound kernel, which has no sums: it leaves what a sweep of its own would leave. On the CPU it takes every
// chunk right after the first one, and so finds in the cache what that has read and written.
ST_API st_status st_sweep_followed(int64_t plan, int32_t binding, int32_t follower, int64_t stream);
ST_API st_status st_wait(int64_t plan, int64_t stream);

// Steps whose scalars are computed on the device. A *machine* computes a tuner's scalars; st_scalars_find gives its number, or -1. It is
// described as "tuner|setting,...|list|state,...|lists,...|input,...|late,...|row,...|first,...|second,...": see scalars/scalars.h.
ST_API int32_t st_scalars_find(const char* tuner);
ST_API const char* st_scalars_describe(int32_t scalars);
// Makes room for such steps of a plan: `first` (-1: none) only reads, then come the scalars, then `second`. Segments have a scope and a
// group each, numbered from 0 without gaps. `length` is that of the machine's list. `capacity` rows are what can be prepared ahead.
// A plan has one of these at a time; until st_capture_destroy its bindings and slots must stay, and no tensor may move or sit out.
ST_API st_status st_capture_create(int64_t plan, int32_t scalars, int32_t first, int32_t second, int32_t scopes,
                                   const int32_t* scopeOfSegment, int32_t groups, const int32_t* groupOfSegment, int32_t length,
                                   int32_t capacity);
// Parts of its host memory, of doubles, until st_capture_destroy.
typedef enum st_capture_part {
  ST_CAPTURE_SETTINGS = 0,  // settings, and the list: to be filled before st_capture_begin
  ST_CAPTURE_STATE = 1,  // [scopes]: state, lists, the effective rate of the last step; filled likewise, and after st_capture_end as it is
  ST_CAPTURE_RING = 2,   // [capacity]: rows. That of step t is number t mod capacity: t, the rate, whether decay was lowered (1 or 0),
                         // and for each group the coefficients of `first` and of `second`, and the machine's row
  ST_CAPTURE_REPORT = 3  // of st_capture_report: attempts, steps made, steps skipped, why (0: made, 1: gradient, 2: loss, 3: no row), |g|,
                         // factor of clipping, rate, whether decay was lowered, whether the loss is at its bound, loss, and then the
                         // learned scales and the effective rates of all scopes
} st_capture_part;
// Its address, and how many doubles one row of it has. 0 and -1 where there is no such part, or no capture.
ST_API int64_t st_capture_address(int64_t plan, int32_t part);
ST_API int32_t st_capture_width(int64_t plan, int32_t part);
// Sends settings and state to the device, and waits. `made` and `skipped` are the run's steps so far. What is not finite is skipped if
// `checks` is not 0. `loss`, which may be 0, is where the device finds the loss of a step, of type `lossType`.
ST_API st_status st_capture_begin(int64_t plan, double multiplier, double clipNorm, int32_t checks, int64_t made, int64_t skipped,
                                  int64_t loss, int32_t lossType, int64_t stream);
// Enqueues the rows from number `row` on, which stay as they are until their steps have been reported. Refused while the stream is being
// captured.
ST_API st_status st_capture_send(int64_t plan, int32_t row, int32_t rows, int64_t stream);
// Enqueues a step. It is made if its row has been sent, and nothing is skipped for what it finds. The stream may be one that is being
// captured: the graph then makes a step each time it is launched.
ST_API st_status st_capture_step(int64_t plan, int64_t stream);
// Whether a stream is being captured.
ST_API int32_t st_capture_capturing(int64_t plan, int64_t stream);
// Copies the newest report that has arrived, without waiting. 0: there is none.
ST_API int32_t st_capture_report(int64_t plan, double* report);
// Has the scalars take what is still to be taken, waits for the stream, and brings the state back.
ST_API st_status st_capture_end(int64_t plan, int64_t stream);
ST_API void st_capture_destroy(int64_t plan);

#ifdef __cplusplus
}
#endif
