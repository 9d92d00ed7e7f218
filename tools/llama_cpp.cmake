# Read by llama-cpp-python's build (CMAKE_PROJECT_llama_cpp_INCLUDE): compiles what rarrl loads, and nothing else.

# libllama-common serves llama.cpp's own programs. A plain variable hides the cached one that the build sets (CMP0126).
set(LLAMA_BUILD_COMMON OFF)

# One of 150 small files for each architecture of a model: most of the time goes into headers, read once a batch here.
cmake_language(DEFER CALL set_target_properties llama PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 20)
