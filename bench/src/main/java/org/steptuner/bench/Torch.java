// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.AdamWOptions;
import org.bytedeco.pytorch.Dispatcher;
import org.bytedeco.pytorch.GenericList;
import org.bytedeco.pytorch.IValue;
import org.bytedeco.pytorch.IValueVector;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.OperatorHandle;
import org.bytedeco.pytorch.SGDOptions;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorType;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.Type;
import org.bytedeco.pytorch.global.torch;

/** libtorch's optimizers over a {@link Model}, each as fast as its interface allows: what can be made once is made once. */
final class Torch {
  static final double RATE = 1e-3;
  static final double BETA1 = 0.9;
  static final double BETA2 = 0.999;
  static final double EPSILON = 1e-8;
  static final double DECAY = 0.01;

  private Torch() {}

  static void threads(int threads) {
    torch.set_num_threads(threads);
  }

  /** Of OpenBLAS, which multiplies libtorch's matrices and has threads of its own. */
  static void productThreads(int threads) {
    openblas.blas_set_num_threads(threads);
  }

  /** What every contender here has: tensors over the model's memory, gradients attached; no gradient mode, no leaks. */
  abstract static class Peer implements Contender {
    final String name;
    final Model model;
    final List<Tensor> parameters = new ArrayList<>();
    final List<Tensor> gradients = new ArrayList<>();
    private final NoGradGuard noGradients = new NoGradGuard();

    Peer(String name, Model model) {
      this.name = name;
      this.model = model;
      for (int t = 0; t < model.shapes().tensors(); ++t) {
        final long[] size = {model.shapes().counts()[t]};
        final Tensor parameter = torch.from_blob(model.parameter(t), size);
        final Tensor gradient = torch.from_blob(model.gradient(t), size);
        parameter.mutable_grad().put(gradient);
        parameters.add(parameter);
        gradients.add(gradient);
      }
    }

    @Override
    public String name() {
      return name;
    }

    List<Tensor> zeros() {
      return parameters.stream().map(torch::zeros_like).toList();
    }

    @Override
    public void close() {
      noGradients.close();
      model.close();
    }
  }

  /** The operator behind {@code AdamW(fused=True)}. The step count is written in place of an operator call: to its favour. */
  static final class FusedAdamW extends Peer {
    private final OperatorHandle operator = Dispatcher.singleton().findSchemaOrThrow("aten::_fused_adamw_", "");
    private final IValueVector stack = new IValueVector();
    private final IValue[] arguments;
    private final FloatPointer[] counts;
    private final List<Tensor> state = new ArrayList<>();
    private float steps;

    FusedAdamW(Model model) {
      super("libtorch _fused_adamw_", model);
      final List<Tensor> first = zeros();
      final List<Tensor> second = zeros();
      final List<Tensor> count = new ArrayList<>();
      for (int t = 0; t < parameters.size(); ++t) count.add(torch.zeros(1).sum());
      counts = count.stream().map(Tensor::data_ptr_float).toArray(FloatPointer[]::new);
      state.addAll(first);
      state.addAll(second);
      state.addAll(count);
      arguments =
          new IValue[] {
            list(parameters), list(gradients), list(first), list(second), list(List.of()), list(count), new IValue(RATE),
            new IValue(BETA1), new IValue(BETA2), new IValue(DECAY), new IValue(EPSILON), new IValue(false), new IValue(false),
            new IValue(), new IValue()
          };
    }

    @Override
    public void run() {
      ++steps;
      for (FloatPointer count : counts) count.put(steps);
      stack.clear();
      for (IValue argument : arguments) stack.push_back(argument);
      operator.callBoxed(stack);
    }

    private static IValue list(List<Tensor> tensors) {
      final GenericList list = new GenericList(new Type.TypePtr(TensorType.get()));
      for (Tensor tensor : tensors) list.push_back(new IValue(tensor));
      return new IValue(list);
    }
  }

  /** {@code torch::optim::AdamW} or {@code SGD}. */
  static final class Native extends Peer {
    private final TensorVector vector;
    private final org.bytedeco.pytorch.Optimizer optimizer;

    private Native(String name, Model model, boolean adam) {
      super(name, model);
      vector = new TensorVector(parameters.toArray(Tensor[]::new));
      optimizer = adam ? Torch.adamW(vector, RATE) : sgd(vector);
    }

    static Native adamW(Model model) {
      return new Native("libtorch C++ AdamW", model, true);
    }

    static Native sgd(Model model) {
      return new Native("libtorch C++ SGD", model, false);
    }

    private static org.bytedeco.pytorch.Optimizer sgd(TensorVector parameters) {
      final SGDOptions options = new SGDOptions(RATE);
      options.momentum().put(BETA1);
      return new org.bytedeco.pytorch.SGD(parameters, options);
    }

    @Override
    public void run() {
      try (PointerScope scope = new PointerScope()) {
        optimizer.step();
      }
    }
  }

  static org.bytedeco.pytorch.Optimizer adamW(TensorVector parameters, double rate) {
    final AdamWOptions options = new AdamWOptions(rate);
    // The betas are its defaults, those above; as a std::tuple they have no order in memory that one could rely on.
    options.eps().put(EPSILON);
    options.weight_decay().put(DECAY);
    return new org.bytedeco.pytorch.AdamW(parameters, options);
  }

  /** Lion, for which libtorch has no class, in tensor operations. */
  static final class Lion extends Peer {
    private final List<Tensor> momentum = zeros();

    Lion(Model model) {
      super("Lion in libtorch operations", model);
    }

    @Override
    public void run() {
      try (PointerScope scope = new PointerScope()) {
        for (int t = 0; t < parameters.size(); ++t) {
          final Tensor m = momentum.get(t);
          final Tensor g = gradients.get(t);
          final Tensor direction = m.mul(new Scalar(0.9)).add_(g, new Scalar(1 - 0.9)).sign_();
          parameters.get(t).mul_(new Scalar(1 - RATE * DECAY)).add_(direction, new Scalar(-RATE));
          m.mul_(new Scalar(0.99)).add_(g, new Scalar(1 - 0.99));
        }
      }
    }
  }
}
