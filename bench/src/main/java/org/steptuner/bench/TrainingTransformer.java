// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import static org.bytedeco.pytorch.global.torch.embedding;
import static org.bytedeco.pytorch.global.torch.linear;

import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/**
 * A transformer of the size of all-MiniLM-L6-v2 (BERT's encoder, post-norm, without dropout and pooler; the tensors of
 * {@link Shapes#transformer}) on 8 sentences of 64 tokens. The loss is the one that model was trained with: sentences are means over
 * their tokens, scores are 20 times the cosines between the first and the second half of the batch, and each of the first half must
 * find its partner (cross entropy over 4). Tokens are random words: loading text is no part of a step.
 */
final class TrainingTransformer extends Network {
  private static final int WORDS = 30522;
  private static final int POSITIONS = 512;
  private static final int TYPES = 2;
  private static final int WIDTH = 384;
  private static final int INNER = 1536;
  private static final int LAYERS = 6;
  private static final int HEADS = 12;
  private static final int SENTENCES = 8;
  private static final int LENGTH = 64;
  private static final double DEVIATION = 0.02; // of BERT's first weights
  private static final double NORM_EPSILON = 1e-12; // BERT's
  private static final double SCORE_SCALE = 20;

  // Where each kind of tensor begins in Shapes.transformer(), which lists them by kind.
  private static final int EMBEDDING_NORM = 3;
  private static final int ATTENTION_WEIGHT = 5;
  private static final int ATTENTION_BIAS = ATTENTION_WEIGHT + 4 * LAYERS;
  private static final int INNER_WEIGHT = ATTENTION_BIAS + 4 * LAYERS;
  private static final int UP_BIAS = INNER_WEIGHT + 2 * LAYERS;
  private static final int DOWN_BIAS = UP_BIAS + LAYERS;
  private static final int NORM = DOWN_BIAS + LAYERS;

  private record Linear(Tensor weight, Tensor bias) {
    Tensor of(Tensor x) {
      return linear(x, weight, bias);
    }
  }

  private record Norm(TensorOptional scale, TensorOptional shift) {
    Tensor of(Tensor x) {
      return torch.layer_norm(x, new long[] {WIDTH}, scale, shift, NORM_EPSILON, false);
    }
  }

  private record Layer(Linear query, Linear key, Linear value, Linear output, Norm attended, Linear up, Linear down, Norm fed) {
    Tensor of(Tensor x) {
      final Tensor mixed = torch.scaled_dot_product_attention(heads(query.of(x)), heads(key.of(x)), heads(value.of(x)));
      final Tensor a = attended.of(x.add(output.of(mixed.transpose(1, 2).reshape(SENTENCES, LENGTH, WIDTH))));
      return fed.of(a.add(down.of(torch.gelu(up.of(a)))));
    }

    private static Tensor heads(Tensor x) {
      return x.view(SENTENCES, LENGTH, HEADS, WIDTH / HEADS).transpose(1, 2);
    }
  }

  private final Tensor words;
  private final Tensor positions;
  private final Tensor types;
  private final Norm embedded;
  private final Layer[] layers = new Layer[LAYERS];
  private final Tensor tokens;
  private final Tensor places;
  private final Tensor type;
  private final Tensor partners;

  TrainingTransformer(Model model) {
    super(model);
    words = weight(0, WORDS, WIDTH);
    positions = weight(1, POSITIONS, WIDTH);
    types = weight(2, TYPES, WIDTH);
    embedded = norm(EMBEDDING_NORM);
    for (int l = 0; l < LAYERS; ++l)
      layers[l] =
          new Layer(
              attention(4 * l), attention(4 * l + 1), attention(4 * l + 2), attention(4 * l + 3), norm(NORM + 4 * l),
              new Linear(weight(INNER_WEIGHT + 2 * l, INNER, WIDTH), zeros(UP_BIAS + l, INNER)),
              new Linear(weight(INNER_WEIGHT + 2 * l + 1, WIDTH, INNER), zeros(DOWN_BIAS + l, WIDTH)), norm(NORM + 4 * l + 2));
    final TensorOptions integers = new TensorOptions(torch.ScalarType.Long);
    tokens = torch.randint(WORDS, new long[] {SENTENCES, LENGTH}, integers);
    places = torch.arange(new Scalar(LENGTH), integers);
    // The two halves of the batch are of the two types: else the second row's gradient would be nothing but zeros.
    type = torch.arange(new Scalar(TYPES), integers).repeat_interleave(SENTENCES / TYPES).unsqueeze(1);
    partners = torch.arange(new Scalar(SENTENCES / 2), integers);
  }

  private Linear attention(int index) {
    return new Linear(weight(ATTENTION_WEIGHT + index, WIDTH, WIDTH), zeros(ATTENTION_BIAS + index, WIDTH));
  }

  private Norm norm(int index) {
    return new Norm(
        new TensorOptional(parameter(index, tensor -> tensor.fill_(new Scalar(1.0)), WIDTH)), new TensorOptional(zeros(index + 1, WIDTH)));
  }

  private Tensor weight(int index, long... size) {
    return parameter(index, tensor -> torch.normal_(tensor, 0, DEVIATION), size);
  }

  private Tensor zeros(int index, long size) {
    return parameter(index, Tensor::zero_, size);
  }

  @Override
  Tensor loss() {
    Tensor x = embedded.of(embedding(words, tokens).add(embedding(positions, places)).add(embedding(types, type)));
    for (Layer layer : layers) x = layer.of(x);
    final Tensor sentences = x.mean(1);
    final Tensor first = sentences.narrow(0, 0, SENTENCES / 2).unsqueeze(1);
    final Tensor second = sentences.narrow(0, SENTENCES / 2, SENTENCES / 2).unsqueeze(0);
    return torch.cross_entropy_loss(torch.cosine_similarity(first, second, 2, 1e-8).mul(new Scalar(SCORE_SCALE)), partners);
  }
}
