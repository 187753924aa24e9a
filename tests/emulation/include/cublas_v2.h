#pragma once

#include <cublasLt.h>

struct cublasContext;
using cublasHandle_t = cublasContext*;
