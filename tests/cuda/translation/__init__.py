"""From csrc/cuda to a library of CPU ops that runs its kernels in the emulator."""
