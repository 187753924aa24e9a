// Its presence tells tests that CUDA is the emulation of this folder.
#pragma once
