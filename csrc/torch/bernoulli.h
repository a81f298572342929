// The op `bernoulli` and its gradient, packed: the log-likelihood of rows of pixels.
#pragma once

#include "../arguments/bernoulli.h"
#include "checks.h"
#include "tensors.h"

namespace hvae {

struct Bernoulli {
  Tensor logits, x, grad, out;
  int64_t rows, images, pixels;
  bool bytes, backward;

  // given_grad: null for the value.
  Bernoulli(const char* op, const Tensor* given_grad, const Tensor& given_logits,
            const Tensor& given_x)
      : backward(given_grad != nullptr) {
    check_real(op, "logits", given_logits);
    bytes = given_x.scalar_type() == ScalarType::Byte;
    STD_TORCH_CHECK(bytes || given_x.scalar_type() == given_logits.scalar_type(), op,
                    ": x must be uint8 or of the dtype of logits");
    check_device(op, "x", given_x, "logits", given_logits);
    STD_TORCH_CHECK(
        given_logits.dim() == 2 && given_x.dim() == 2 && given_x.size(1) == given_logits.size(1),
        op, ": logits must be [rows, pixels] and x [images, pixels]");
    rows = given_logits.size(0), images = given_x.size(0), pixels = given_logits.size(1);
    STD_TORCH_CHECK(rows == 0 || (images > 0 && rows % images == 0), op,
                    ": the rows of logits must be a multiple of the images of x");
    logits = made_contiguous(given_logits);
    x = made_contiguous(given_x);
    if (backward) {
      check_like(op, "grad", *given_grad, "logits", given_logits);
      STD_TORCH_CHECK(given_grad->numel() == rows, op, ": grad must have one element a row");
      grad = made_contiguous(*given_grad);
      out = new_empty(logits, {rows, pixels});
    } else {
      out = new_empty(logits, {rows});
    }
  }

  template <class T>
  BernoulliArguments<T> arguments() const {
    return {.rows = rows,
            .images = images,
            .pixels = pixels,
            .logits = logits.const_data_ptr<T>(),
            .x = bytes ? nullptr : x.const_data_ptr<T>(),
            .x_byte = bytes ? x.const_data_ptr<uint8_t>() : nullptr,
            .grad = backward ? grad.const_data_ptr<T>() : nullptr,
            .out = out.mutable_data_ptr<T>()};
  }
};

}  // namespace hvae
