// The passes of kernel.h as two TensorFlow operations.
//
// TensorFlow's C API is looked up when this library is loaded, so that building it takes only a C++
// compiler. The C++ API would need TensorFlow at build time, and an isolated build would download
// it a second time.

#include <dlfcn.h>

#include <exception>
#include <string>
#include <utility>

#include "kernel.h"

namespace {

struct Context;
struct Status;
struct Tensor;
struct Builder;
struct Shape;
constexpr const char* SHAPES = "the shapes of the recurrence's inputs do not agree";
constexpr int FLOAT = 1;                            // of TF_DataType
constexpr int INVALID_ARGUMENT = 3, INTERNAL = 13;  // of TF_Code

// The functions used from tensorflow/c/{c_api,kernels,ops}.h: result, name, parameters.
#define TENSORFLOW(X)                                                                             \
  X(Status*, TF_NewStatus, ())                                                                    \
  X(void, TF_DeleteStatus, (Status*))                                                             \
  X(void, TF_SetStatus, (Status*, int, const char*))                                              \
  X(int, TF_GetCode, (const Status*))                                                             \
  X(void, TF_DeleteTensor, (Tensor*))                                                             \
  X(void*, TF_TensorData, (const Tensor*))                                                        \
  X(int, TF_NumDims, (const Tensor*))                                                             \
  X(int64_t, TF_Dim, (const Tensor*, int))                                                        \
  X(void, TF_GetInput, (Context*, int, Tensor**, Status*))                                        \
  X(Tensor*, TF_AllocateOutput, (Context*, int, int, const int64_t*, int, size_t, Status*))       \
  X(void, TF_OpKernelContext_Failure, (Context*, Status*))                                        \
  X(void, TF_OpKernelConstruction_GetAttrInt64, (Context*, const char*, int64_t*, Status*))       \
  X(void, TF_OpKernelConstruction_Failure, (Context*, Status*))                                   \
  X(Builder*, TF_NewOpDefinitionBuilder, (const char*))                                           \
  X(void, TF_OpDefinitionBuilderAddAttr, (Builder*, const char*))                                 \
  X(void, TF_OpDefinitionBuilderAddInput, (Builder*, const char*))                                \
  X(void, TF_OpDefinitionBuilderAddOutput, (Builder*, const char*))                               \
  X(void, TF_OpDefinitionBuilderSetShapeInferenceFunction, (Builder*, void (*)(Shape*, Status*))) \
  X(void, TF_ShapeInferenceContextSetUnknownShape, (Shape*, Status*))                             \
  X(void, TF_RegisterOpDefinition, (Builder*, Status*))                                           \
  X(Builder*, TF_NewKernelBuilder,                                                                \
    (const char*, const char*, void* (*)(Context*), void (*)(void*, Context*), void (*)(void*)))  \
  X(void, TF_RegisterKernelBuilder, (const char*, Builder*, Status*))

#define DECLARE(RESULT, NAME, PARAMETERS) RESULT(*NAME) PARAMETERS;
TENSORFLOW(DECLARE)

bool find_tensorflow() {
  void* library = dlopen("libtensorflow_framework.so.2", RTLD_NOW | RTLD_NOLOAD);
  if (!library) return false;
#define FIND(RESULT, NAME, PARAMETERS) \
  if (!(NAME = reinterpret_cast<decltype(NAME)>(dlsym(library, #NAME)))) return false;
  TENSORFLOW(FIND)
  return true;
}

Pool& pool() {
  static Pool* const pool = new Pool;  // never destroyed: its threads outlive static objects
  return *pool;
}

struct Attributes {
  int64_t cell, threads, initial_state, record, sequences, inputs_gradient;
};
constexpr std::pair<const char*, int64_t Attributes::*> ATTRIBUTES[] = {
    {"cell", &Attributes::cell},
    {"threads", &Attributes::threads},
    {"initial_state", &Attributes::initial_state},
    {"record", &Attributes::record},
    {"sequences", &Attributes::sequences},
    {"inputs_gradient", &Attributes::inputs_gradient},
};

// One call of an operation: its tensors, released at its end, and whether all is well.
class Call {
 public:
  explicit Call(Context* context) : context_(context) {}
  ~Call() {
    if (!ok()) TF_OpKernelContext_Failure(context_, status_);
    for (Tensor* tensor : tensors_) TF_DeleteTensor(tensor);
    TF_DeleteStatus(status_);
  }

  bool ok() const { return TF_GetCode(status_) == 0; }
  void fail(int code, const char* message) { TF_SetStatus(status_, code, message); }

  // Return an input's values if it has these dimensions; negative ones are set to those found.
  float* input(int number, const std::vector<long*>& dimensions) {
    Tensor* tensor = nullptr;
    if (ok()) TF_GetInput(context_, number, &tensor, status_);
    if (!ok()) return nullptr;
    tensors_.push_back(tensor);
    bool fits = TF_NumDims(tensor) == static_cast<int>(dimensions.size());
    for (size_t i = 0; fits && i < dimensions.size(); ++i) {
      if (*dimensions[i] < 0) *dimensions[i] = TF_Dim(tensor, i);
      fits = TF_Dim(tensor, i) == *dimensions[i];
    }
    if (!fits) fail(INVALID_ARGUMENT, SHAPES);
    return static_cast<float*>(TF_TensorData(tensor));
  }

  // Return the values of an output of these dimensions, or nothing if it has no elements.
  float* output(int number, const std::vector<int64_t>& dimensions) {
    size_t size = sizeof(float);
    for (int64_t dimension : dimensions) size *= dimension;
    if (!ok()) return nullptr;
    Tensor* tensor = TF_AllocateOutput(context_, number, FLOAT, dimensions.data(),
                                       dimensions.size(), size, status_);
    if (!ok()) return nullptr;
    tensors_.push_back(tensor);
    return size ? static_cast<float*>(TF_TensorData(tensor)) : nullptr;
  }

  // Call run(cell), with the cell as a constant, while this call holds the pool's threads.
  template <class Run>
  void run(int64_t cell, Run run) {
    if (!ok()) return;
    try {
      const std::lock_guard<std::mutex> turn(pool().turn);
      if (cell == SIMPLE) run(std::integral_constant<int, SIMPLE>{});
      if (cell == SIGMOID) run(std::integral_constant<int, SIGMOID>{});
      if (cell == HARD_SIGMOID) run(std::integral_constant<int, HARD_SIGMOID>{});
    } catch (const std::exception& error) {  // no memory, or no thread
      fail(INTERNAL, error.what());
    }
  }

 private:
  Context* const context_;
  Status* const status_ = TF_NewStatus();
  std::vector<Tensor*> tensors_;
};

Sizes unknown_sizes(const Attributes& attributes) {
  return {-1, -1, -1, -1, attributes.cell == SIMPLE ? 1 : 4};
}

void compute_forward(void* attributes, Context* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Call call(context);
  Sizes s = unknown_sizes(a);
  long columns = -1;
  const float* x = call.input(0, {&s.batch, &s.steps, &s.features});
  const float* kernel = call.input(1, {&s.features, &columns});
  const float* recurrent = call.input(2, {&s.units, &columns});
  const float* bias = call.input(3, {&columns});
  if (call.ok() && columns != s.columns()) call.fail(INVALID_ARGUMENT, SHAPES);
  long given_h = a.initial_state ? s.batch : 0, given_c = a.cell == SIMPLE ? 0 : given_h;
  const float* h = call.input(4, {&given_h, &s.units});
  const float* c = call.input(5, {&given_c, &s.units});
  float* sequence = call.output(0, {a.sequences ? s.batch : 0, s.steps, s.units});
  float* last_h = call.output(1, {s.batch, s.units});
  float* last_c = call.output(2, {a.cell == SIMPLE ? 0 : s.batch, s.units});
  float* records = call.output(3, {a.record ? s.batch : 0, s.record()});
  const auto first = a.initial_state ? ConstStates{h, c} : ConstStates{};
  call.run(a.cell, [&](auto cell) {
    forward<cell>(s, pool(), a.threads, x, {kernel, recurrent, bias}, first, {last_h, last_c},
                  sequence, records);
  });
}

void compute_backward(void* attributes, Context* context) {
  const auto& a = *static_cast<Attributes*>(attributes);
  Call call(context);
  Sizes s = unknown_sizes(a);
  const float* x = call.input(0, {&s.batch, &s.steps, &s.features});
  const float* d_last_h = call.input(5, {&s.batch, &s.units});
  long columns = s.columns(), record = s.record();
  long with_c = a.cell == SIMPLE ? 0 : s.batch, with_sequence = a.sequences ? s.batch : 0;
  const float* d_last_c = call.input(6, {&with_c, &s.units});
  const float* kernel = call.input(1, {&s.features, &columns});
  const float* recurrent = call.input(2, {&s.units, &columns});
  float* records = call.input(3, {&s.batch, &record});
  const float* d_sequence = call.input(4, {&with_sequence, &s.steps, &s.units});
  const Gradients d{call.output(0, {s.features, columns}), call.output(1, {s.units, columns}),
                    call.output(2, {columns}),
                    call.output(3, {a.inputs_gradient ? s.batch : 0, s.steps, s.features})};
  const long given = a.initial_state ? s.batch : 0;
  float* d_first_h = call.output(4, {given, s.units});
  float* d_first_c = call.output(5, {a.cell == SIMPLE ? 0 : given, s.units});
  call.run(a.cell, [&](auto cell) {
    backward<cell>(s, pool(), a.threads, x, {kernel, recurrent, nullptr}, records,
                   a.sequences ? d_sequence : nullptr, {d_last_h, d_last_c}, d,
                   {d_first_h, d_first_c});
  });
}

void* create(Context* construction) {
  auto* attributes = new Attributes;
  Status* status = TF_NewStatus();
  for (const auto& [name, member] : ATTRIBUTES)
    if (TF_GetCode(status) == 0)
      TF_OpKernelConstruction_GetAttrInt64(construction, name, &(attributes->*member), status);
  if (TF_GetCode(status)) TF_OpKernelConstruction_Failure(construction, status);
  TF_DeleteStatus(status);
  return attributes;
}

void destroy(void* attributes) { delete static_cast<Attributes*>(attributes); }

void add_operation(const char* name, std::vector<const char*> inputs,
                   std::vector<const char*> outputs, void (*compute)(void*, Context*)) {
  Status* status = TF_NewStatus();
  Builder* builder = TF_NewOpDefinitionBuilder(name);
  for (const char* input : inputs) TF_OpDefinitionBuilderAddInput(builder, input);
  for (const char* output : outputs) TF_OpDefinitionBuilderAddOutput(builder, output);
  for (const auto& [attribute, _] : ATTRIBUTES)
    TF_OpDefinitionBuilderAddAttr(builder, (std::string(attribute) + ": int").c_str());
  // The layers in Python set the shapes.
  TF_OpDefinitionBuilderSetShapeInferenceFunction(builder, TF_ShapeInferenceContextSetUnknownShape);
  TF_RegisterOpDefinition(builder, status);
  TF_RegisterKernelBuilder(name, TF_NewKernelBuilder(name, "CPU", create, compute, destroy),
                           status);
  TF_DeleteStatus(status);
}

// Without TensorFlow nothing can be added; `layers.py` notices that the operations are missing.
__attribute__((constructor)) void add_operations() {
  if (!find_tensorflow()) return;
  add_operation("LstmMnistRecurrence",
                {"x: float", "kernel: float", "recurrent: float", "bias: float", "first_h: float",
                 "first_c: float"},
                {"sequence: float", "last_h: float", "last_c: float", "records: float"},
                compute_forward);
  add_operation("LstmMnistRecurrenceGradient",
                {"x: float", "kernel: float", "recurrent: float", "records: float",
                 "d_sequence: float", "d_last_h: float", "d_last_c: float"},
                {"d_kernel: float", "d_recurrent: float", "d_bias: float", "d_x: float",
                 "d_first_h: float", "d_first_c: float"},
                compute_backward);
}

}  // namespace
